const line = document.getElementById("live");
new EventSource("api/v1/live").onmessage = (event) => {
  const { messages_per_second: rate, group_messages: group, single_messages: single } = JSON.parse(event.data);
  line.textContent = `${rate.toFixed(1)} messages a second; ${group} in groups, ${single} between users`;
};
