// All texts, as [English, Simplified Chinese]. {name} is a value, [one|many] depends on {n}, and `...` is code.
const TEXTS = {
  title: ['openim-exporter: live', 'openim-exporter：实时'],
  skip: ['Skip to the numbers', '跳到数据'],
  controls: ['Controls', '控制'],
  sections: ['Sections', '栏目'],
  pause: ['Pause', '暂停'],
  resume: ['Resume', '继续'],
  theme: ['Theme', '主题'],
  system: ['System', '跟随系统'],
  light: ['Light', '浅色'],
  dark: ['Dark', '深色'],
  language: ['Language', '语言'],
  save: ['Save as HTML', '保存为 HTML'],
  csv_days: ['Days (CSV)', '每日（CSV）'],
  csv_hours: ['Hours (CSV)', '每小时（CSV）'],
  as_table: ['Show as a table', '以表格显示'],
  saved: [
    'Saved on {time} ({zone}) from {url}. The numbers are from that moment.',
    '于 {time}（{zone}）从 {url} 保存，数据为当时的值。',
  ],

  // The connection
  state_live: ['Live', '实时'],
  state_connecting: ['Connecting', '正在连接'],
  state_polling: ['Every 10 seconds', '每 10 秒更新'],
  state_lost: ['Not live', '未连接'],
  state_paused: ['Paused', '已暂停'],
  banner_full: [
    'Not live since {time}: `--web.max-viewers` viewers are connected. The numbers are updated every 10 seconds, and the page keeps trying.',
    '自 {time} 起不再实时：观看者已达到 `--web.max-viewers` 的上限。数据每 10 秒更新一次，页面会继续尝试。',
  ],
  banner_polling: [
    'Not live since {time}: the live stream ends or brings nothing, perhaps because a proxy buffers it or the exporter is shutting down. The numbers are updated every 10 seconds, and the page keeps trying.',
    '自 {time} 起不再实时：实时数据流中断或没有数据，可能是代理缓冲了它，或导出器正在关闭。数据每 10 秒更新一次，页面会继续尝试。',
  ],
  banner_paused: ['Paused since {time}. The numbers are from then.', '自 {time} 起暂停，数据为当时的值。'],
  banner_lost: [
    'Not live since {time}. {why} The page keeps trying, and recovers by itself.',
    '自 {time} 起停止实时更新。{why}页面会继续尝试并自动恢复。',
  ],
  banner_never: ['{why} The page keeps trying.', '{why}页面会继续尝试。'],
  banner_age: ['The numbers are {age} old.', '数据更新于 {age}前。'],
  why_cut: ['The connection was cut.', '连接中断。'],
  why_0: [
    'The exporter does not answer: check that it is running, and that this machine can reach it.',
    '导出器没有响应：请检查它是否在运行，以及本机能否访问它。',
  ],
  why_json: ['The answer is not JSON: check the proxy in between.', '返回的不是 JSON：请检查中间的代理。'],
  why_401: [
    'The exporter asks for a user name and a password: reload the page to log in.',
    '导出器要求用户名和密码：请刷新页面登录。',
  ],
  why_403: ['The exporter refuses this client: ask its operator for access.', '导出器拒绝了本客户端：请联系管理员。'],
  why_404: [
    'There is no such page on this exporter: check the path of the proxy in between.',
    '导出器上没有该页面：请检查中间代理的路径。',
  ],
  why_429: [
    'There are too many requests: close other tabs, or raise `rate_limit` in `--web.config.file`.',
    '请求过多：请关闭其他标签页，或提高 `--web.config.file` 中的 `rate_limit`。',
  ],
  why_503: [
    'The exporter is busy or shutting down: if this continues, see `too_many_scrapes` and `overloaded` in docs/errors.md.',
    '导出器繁忙或正在关闭：若持续如此，请参阅 docs/errors.md 中的 `too_many_scrapes` 与 `overloaded`。',
  ],
  why_other: ['The exporter answers with error {code}: its log says why.', '导出器返回错误 {code}：原因见其日志。'],
  problem: ['{part}: {why}', '{part}：{why}'],

  // Now
  now: ['Now', '现在'],
  per_second: ['messages per second', '条消息/秒'],
  writing: ['people wrote in the last 5 minutes', '人在最近 5 分钟内发言'],
  online: ['users online', '在线用户'],
  all_exporters: ['at all exporters', '（所有导出器）'],
  of_all_exporters: ['{what}, all exporters', '{what}（所有导出器）'],
  online_unknown: ['not reported by OpenIM', 'OpenIM 未上报'],
  messages_today: ['messages today', '今日消息'],
  yesterday_messages: ['Yesterday: {n}', '昨日：{n}'],
  minutes_title: ['Messages per minute, last 60 minutes', '最近 60 分钟每分钟消息数'],
  minutes_label: [
    'Messages per minute in the last 60 minutes: {last} in the last full minute, at most {max} (at {when}), at least {min}.',
    '最近 60 分钟每分钟消息数：最近一整分钟 {last}，最高 {max}（{when}），最低 {min}。',
  ],
  minutes_tip: ['{time}: {n} [message|messages], {people} wrote', '{time}：{n} 条消息，{people} 人发言'],
  so_far: [' (so far)', '（未结束）'],
  no_history: ['No history yet.', '暂无历史数据。'],
  spoken: [
    '{time}: {rate} messages per second. {people} people wrote in the last 5 minutes. {online} users are online. {callback}',
    '{time}：每秒 {rate} 条消息。最近 5 分钟有 {people} 人发言。{online} 人在线。{callback}',
  ],

  // Is OpenIM calling us?
  calling: ['Is OpenIM calling us?', '是否收到 OpenIM 的回调？'],
  callback_last: ['The last callback came {ago}.', '最近一次回调：{ago}。'],
  callback_never: ['No callback has come yet.', '尚未收到任何回调。'],
  callback_none: [
    'No callback has come since the exporter started, {ago}. {n} [callback|callbacks] came before.',
    '导出器在{ago}启动后尚未收到回调，此前收到 {n} 次。',
  ],
  just_now: ['just now', '刚才'],
  refused_recently: ['A callback was refused {ago}: {reason}', '{ago}拒绝了一个回调：{reason}'],
  stopped_title: [
    'If your users are writing, callbacks have stopped. Check in this order:',
    '如果用户正在发言，说明回调已停止。请依次检查：',
  ],
  check_running: [
    'Is OpenIM running, and were all its processes restarted after the last change of `config/webhooks.yml`?',
    'OpenIM 是否在运行？修改 `config/webhooks.yml` 后是否重启了所有进程？',
  ],
  check_reach: [
    'On OpenIM’s machine (or in its container or pod), does this command get an answer?',
    '在 OpenIM 所在机器（或容器、Pod）上，以下命令是否有响应？',
  ],
  check_log: [
    'Does OpenIM’s log have lines with `webhook`? If not, the settings are not in effect. If the lines have another `url`, OpenIM uses an old configuration. If none has `webhook success`, OpenIM does not reach this address.',
    'OpenIM 日志中是否有 `webhook`？没有：设置未生效；`url` 不同：使用了旧配置；没有 `webhook success`：OpenIM 访问不到此地址。',
  ],
  setup_title: [
    'Change these settings in OpenIM’s `config/webhooks.yml` (v3.7 and newer). Each may occur only once. Then restart all OpenIM processes:',
    '在 OpenIM 的 `config/webhooks.yml`（v3.7 及更高版本）中修改以下设置（每项只能出现一次），然后重启所有 OpenIM 进程：',
  ],
  setup_again: ['Settings for OpenIM', 'OpenIM 的设置'],
  setup_placeholders: [
    'Replace `SECRET` by the secret of `--callback.secret-file`, and `USER` and `PASSWORD` by a user of `--callback.basic-auth-file`.',
    '请将 `SECRET` 替换为 `--callback.secret-file` 中的密钥，将 `USER` 和 `PASSWORD` 替换为 `--callback.basic-auth-file` 中的用户。',
  ],
  setup_address: [
    '`url` must be the address at which OpenIM’s processes reach this exporter: in a container, `localhost` is the container itself. docs/openim.md has the other versions and the other callbacks.',
    '`url` 必须是 OpenIM 进程能访问到的本导出器地址：在容器里，`localhost` 是容器自身。其他版本和其他回调见 docs/openim.md。',
  ],
  setup_test: [
    'Or send a test message. It counts as a message in the group `test-group`:',
    '或发送一条测试消息，它会被计为群 `test-group` 的一条消息：',
  ],
  copy: ['Copy', '复制'],
  copied: ['Copied', '已复制'],
  copy_failed: ['Press Ctrl+C', '请按 Ctrl+C'],
  code_yaml: ['Lines for webhooks.yml', 'webhooks.yml 内容'],
  code_test: ['Command for a test message', '测试消息命令'],
  code_reach: ['Command to test the connection', '连通性测试命令'],
  commands_title: ['Callbacks received', '收到的回调'],
  command: ['Callback', '回调'],
  count: ['Count', '次数'],
  share: ['Share', '占比'],
  refused_title: ['Recently refused callbacks', '最近被拒绝的回调'],
  refused_none: ['No callback has been refused since the exporter started.', '导出器启动以来没有拒绝任何回调。'],
  at: ['Time', '时间'],
  client: ['Client', '客户端'],
  reason: ['Why, and what to do', '原因与处理'],

  // Where callbacks go
  targets: ['Where callbacks go', '回调的去向'],
  targets_title: ['Servers to which callbacks are forwarded', '接收转发回调的服务器'],
  target: ['Server', '服务器'],
  target_works: ['works', '正常'],
  target_failed: ['the last attempt failed ({reason})', '最近一次请求失败（{reason}）'],
  attempt_failed: ['an unusable answer', '应答不可用'],
  attempt_timeout: ['no answer in time', '应答超时'],
  attempt_unreachable: ['unreachable', '无法连接'],
  target_rejects: ['rejects callbacks (dead letters: {count})', '拒收回调（死信 {count}）'],
  target_late: ['callbacks have waited for more than 5 minutes', '有回调已等待超过 5 分钟'],
  target_half_open: ['is being probed', '正在重试'],
  target_open: ['is failing and will be probed soon', '故障，稍后重试'],
  target_waiting: ['Waiting', '等待投递'],
  target_oldest: ['Oldest', '最长等待'],
  target_rate: ['Delivered per second', '每秒投递'],
  target_delivered: ['Delivered', '已投递'],
  target_dropped: ['Dropped', '已丢弃'],
  target_dead: ['Dead letters', '死信'],
  target_answers: ['answers to OpenIM: {answers}', '对 OpenIM 的应答：{answers}'],
  answers_allowed: ['{count} allowed', '允许 {count}'],
  answers_refused: ['{count} refused', '拒绝 {count}'],
  answers_ineffective: ['{count} refused without effect', '拒绝但未生效 {count}'],
  answers_by_policy: ['{count} by its policy', '按策略应答 {count}'],

  // People
  people: ['People', '人数'],
  periods_title: ['By period', '各时段'],
  period: ['Period', '时段'],
  wrote: ['Wrote', '发言'],
  active: ['Active', '活跃'],
  active_help: ['Active: wrote, read or came online.', '活跃：发言、阅读或上线。'],
  groups_short: ['Groups', '群'],
  messages: ['Messages', '消息'],
  today: ['Today', '今天'],
  yesterday: ['Yesterday', '昨天'],
  days_title: ['People who wrote, day by day', '每日发言人数'],
  days_label: [
    'People who wrote, by day, {n} [day|days]: {yesterday} yesterday, {today} today so far, at most {max} (on {when}).',
    '每日发言人数，共 {n} 天：昨天 {yesterday}，今天到目前 {today}，最高 {max}（{when}）。',
  ],
  days_tip: ['{day}: {people} wrote, {n} [message|messages]', '{day}：{people} 人发言，{n} 条消息'],
  days_table: ['All days as a table', '以表格显示每一天'],
  day: ['Day', '日期'],
  group_messages: ['Group messages', '群聊消息'],
  single_messages: ['Single messages', '单聊消息'],
  online_peak: ['Peak online', '最高在线'],
  registered: ['Registered', '注册'],
  joined: ['Joined groups', '入群'],
  left: ['Left groups', '退群'],
  revoked: ['Revoked', '撤回'],
  retention_title: ['Who comes back', '留存'],
  retention_text: [
    'Of the people who wrote on an earlier day, this share also wrote yesterday.',
    '在较早某天发言的人中，昨天也发言的比例。',
  ],
  retention_1d: ['of those who wrote the day before yesterday', '次日留存'],
  retention_7d: ['of those who wrote 7 days before yesterday', '7 日留存'],
  retention_28d: ['of those who wrote 28 days before yesterday', '28 日留存'],
  unknown_yet: ['not known yet', '尚无数据'],

  // What they write
  content: ['What they write', '发送内容'],
  types_title: ['Messages by content type, last 7 days', '最近 7 天各类型消息'],
  types_table: ['Content types', '内容类型'],
  types_label: ['Messages by content type in the last 7 days: {list}.', '最近 7 天各类型消息：{list}。'],
  type: ['Type', '类型'],
  other: ['Other', '其他'],
  type_code: ['Type {code}', '类型 {code}'],
  chats_title: ['Groups and single chats', '群聊与单聊'],
  chat: ['Chat', '会话'],
  chat_group_messages: ['Groups', '群聊'],
  chat_single_messages: ['Single', '单聊'],
  week_days: ['7 days', '7 天'],
  since: ['Since {day}', '自 {day} 起'],
  platforms_title: ['Platforms, since {day}', '平台（自 {day} 起）'],
  platforms_short: ['Platforms', '平台'],
  platform: ['Platform', '平台'],

  // Groups
  groups: ['Busiest groups', '最活跃的群'],
  groups_title: ['Groups', '群'],
  groups_caption: [
    'All tracked groups. This week means the last 7 full days, without today. The change is relative to the 7 days before.',
    '所有已跟踪的群。本周：最近 7 个完整的自然日，不含今天。变化：与再之前的 7 天相比。',
  ],
  growth: ['Grew most this week:', '本周增长最多：'],
  growth_text: [
    '{this} messages, after {last} in the week before ({change}).',
    '{this} 条消息，前一周为 {last}（{change}）。',
  ],
  growth_none: ['No group is known to have grown this week.', '尚无本周增长的群。'],
  search: ['Search group IDs', '搜索群 ID'],
  sort: ['Sort by', '排序'],
  sort_messages: ['Most messages', '消息最多'],
  sort_growth: ['Grew most this week', '本周增长最多'],
  sort_rate: ['Busiest now', '当前最活跃'],
  sort_active_senders: ['Most people in 24 hours', '24 小时人数最多'],
  sort_last_seen: ['Last message', '最近消息'],
  group: ['Group', '群'],
  two_weeks: ['14 days', '14 天'],
  two_weeks_label: ['14 days: {list}', '14 天：{list}'],
  this_week: ['7 full days', '7 个完整日'],
  change: ['Change', '变化'],
  rate: ['Recently, per minute', '近期每分钟'],
  people_24h: ['People, 24 h', '人数，24 小时'],
  last_message: ['Last message', '最近消息'],
  new: ['new', '新'],
  silent: ['silent', '不活跃'],
  new_help: ['First seen within the last 7 days', '最近 7 天内首次出现'],
  silent_help: ['Had messages in the last two weeks, but none for 24 hours', '最近两周有消息，但最近 24 小时没有'],
  from_zero: ['from 0', '从 0 开始'],
  no_groups: ['No groups yet.', '暂无群。'],
  no_match: ['No group matches.', '没有匹配的群。'],
  range: ['{from} to {to} of {n} [group|groups]', '第 {from} 至 {to} 个，共 {n} 个群'],
  pages: ['Pages', '分页'],
  first: ['First', '第一页'],
  previous: ['Previous', '上一页'],
  next: ['Next', '下一页'],
  last: ['Last', '最后一页'],

  // When, how fast
  when: ['When', '时段分布'],
  heat_title: ['Messages by hour, last 7 days', '最近 7 天每小时消息数'],
  heat_caption: ['Messages by hour, last 7 days ({zone})', '最近 7 天每小时消息数（{zone}）'],
  heat_tip: ['{day}, {hour}: {n} [message|messages]', '{day} {hour}：{n} 条消息'],
  heat_gap: ['{day}, {hour}: no data, because the exporter did not run', '{day} {hour}：无数据，导出器未运行'],
  no_data: ['no data', '无数据'],
  fewer: ['0', '0'],
  more: ['{n} per hour', '每小时 {n}'],
  busiest: ['Busiest: {day}, {hour}, {n} [message|messages].', '最忙：{day} {hour}，{n} 条消息。'],
  fast: ['How fast', '送达速度'],
  delay_title: ['Delivery delay of messages by hour, last 24 hours', '最近 24 小时每小时消息送达延迟'],
  delay_label: [
    'Delivery delay in the last full hour: half of the messages took at most {p50}, 95% at most {p95}, 99% at most {p99}.',
    '最近一整小时的送达延迟：一半消息不超过 {p50}，95% 不超过 {p95}，99% 不超过 {p99}。',
  ],
  delay_none: [
    'No message in the last 24 hours had a send time. OpenIM v3.8.1 and newer report it.',
    '最近 24 小时没有带发送时间的消息。OpenIM 从 v3.8.1 起提供发送时间。',
  ],
  p50: ['p50: half of the messages', 'p50：一半的消息'],
  p95: ['p95: 95%', 'p95：95%'],
  p99: ['p99: 99%', 'p99：99%'],
  hour: ['Hour', '小时'],

  about: [
    'openim-exporter {version}. Counting since {since}, running for {uptime}. Times are in {zone}. {tracked} groups are tracked, of at most {capacity}. [1 viewer|{n} viewers].',
    'openim-exporter {version}。自 {since} 起计数，已运行 {uptime}。时区 {zone}。跟踪 {tracked}/{capacity} 个群。{n} 人正在查看。',
  ],
  docs: ['Documentation in the repository:', '仓库中的文档：'],
};

let column = 0;
let count = new Intl.NumberFormat('en');

export const language = () => (column === 1 ? 'zh' : 'en');
export const locale = () => (column === 1 ? 'zh-CN' : 'en-GB');

export function setLanguage(name) {
  column = name === 'zh' ? 1 : 0;
  count = new Intl.NumberFormat(locale());
}

// The address decides, then the browser's languages in their order.
export function preferredLanguage() {
  const wanted = [new URLSearchParams(location.search).get('lang') ?? '', ...(navigator.languages ?? [])];
  const known = wanted.map((name) => name.slice(0, 2).toLowerCase()).find((name) => name === 'en' || name === 'zh');
  return known ?? 'en';
}

export const pick = (pair) => pair[column];

export function t(key, values = {}) {
  return pick(TEXTS[key])
    .replace(/\[([^|\]]*)\|([^\]]*)\]/g, (_, one, many) => (values.n === 1 ? one : many))
    .replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return typeof value === 'number' ? count.format(value) : (value ?? '');
    });
}

export const hasText = (key) => key in TEXTS;
