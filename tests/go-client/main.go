// A sender like OpenIM: Go's net/http with its default transport, one client for all workers, a new body and operation ID
// for each callback. It reads each answer to its end. Sends for some time and prints a report as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

type result struct {
	Sent     int      `json:"sent"`
	Answered int      `json:"answered"`
	Failures []string `json:"failures"`
	// Answers by HTTP version.
	Protocols map[string]int `json:"protocols"`
}

const success = `{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}`

func post(client *http.Client, url string, number int) (string, error) {
	body := fmt.Sprintf(`{"sendID":"u%d","callbackCommand":"callbackAfterSendGroupMsgCommand","serverMsgID":"%d",`+
		`"senderPlatformID":2,"msgFrom":100,"contentType":101,"status":2,"groupID":"g%d","atUserList":null}`+"\n",
		number%50, number, number%7)
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	request.Header.Set("Operationid", strconv.Itoa(number))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || string(answer) != success {
		return "", fmt.Errorf("%d %s", response.StatusCode, answer)
	}
	return response.Proto, nil
}

func work(client *http.Client, url string, worker int, until time.Time) result {
	seen := result{Protocols: map[string]int{}}
	for number := worker; time.Now().Before(until); number += 1000 {
		seen.Sent++
		protocol, err := post(client, url, number)
		if err != nil {
			seen.Failures = append(seen.Failures, err.Error())
			continue
		}
		seen.Answered++
		seen.Protocols[protocol]++
	}
	return seen
}

// Arguments: the URL, the number of workers, and the duration.
func main() {
	url := os.Args[1]
	workers, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	howLong, err := time.ParseDuration(os.Args[3])
	if err != nil {
		panic(err)
	}
	// Like OpenIM's client: a timeout of 5 s, and Go's default transport with different limits for idle connections.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = workers
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	all := result{Protocols: map[string]int{}}
	var mutex sync.Mutex
	var group sync.WaitGroup
	until := time.Now().Add(howLong)
	for worker := 0; worker < workers; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			seen := work(client, url, worker, until)
			mutex.Lock()
			defer mutex.Unlock()
			all.Sent += seen.Sent
			all.Answered += seen.Answered
			all.Failures = append(all.Failures, seen.Failures...)
			for protocol, count := range seen.Protocols {
				all.Protocols[protocol] += count
			}
		}(worker)
	}
	group.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		panic(err)
	}
}
