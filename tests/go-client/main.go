// A sender like OpenIM: Go's net/http with its default transport, one client for all workers, a new body and operation ID
// for each callback. It reads each answer to its end. Sends for some time, or until SIGTERM, and prints a report as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type result struct {
	Sent     int      `json:"sent"`
	Answered int      `json:"answered"`
	Failures []string `json:"failures"`
	// Answers by HTTP version.
	Protocols map[string]int `json:"protocols"`
	// The 99th percentile of the answers' times, in milliseconds.
	P99   float64 `json:"p99_ms"`
	times []float64
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

func work(client *http.Client, url string, worker int, pause time.Duration, stop <-chan struct{}) result {
	seen := result{Protocols: map[string]int{}}
	for number := worker; ; number += 1000 {
		select {
		case <-stop:
			return seen
		case <-time.After(pause):
		}
		seen.Sent++
		begin := time.Now()
		protocol, err := post(client, url, number)
		if err != nil {
			seen.Failures = append(seen.Failures, err.Error())
			continue
		}
		seen.times = append(seen.times, time.Since(begin).Seconds()*1000)
		seen.Answered++
		seen.Protocols[protocol]++
	}
}

// Closed after the duration, or at SIGTERM.
func stopAfter(howLong time.Duration) <-chan struct{} {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	stop := make(chan struct{})
	go func() {
		select {
		case <-terminate:
		case <-time.After(howLong):
		}
		close(stop)
	}()
	return stop
}

// Arguments: the URL, the number of workers, the duration, and the time between two callbacks of a worker, if any.
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
	pause := time.Duration(0)
	if len(os.Args) > 4 {
		if pause, err = time.ParseDuration(os.Args[4]); err != nil {
			panic(err)
		}
	}
	// Like OpenIM's client: a timeout of 5 s, and Go's default transport with different limits for idle connections.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = workers
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	all := result{Protocols: map[string]int{}}
	var mutex sync.Mutex
	var group sync.WaitGroup
	stop := stopAfter(howLong)
	for worker := 0; worker < workers; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			seen := work(client, url, worker, pause, stop)
			mutex.Lock()
			defer mutex.Unlock()
			all.Sent += seen.Sent
			all.Answered += seen.Answered
			all.times = append(all.times, seen.times...)
			all.Failures = append(all.Failures, seen.Failures...)
			for protocol, count := range seen.Protocols {
				all.Protocols[protocol] += count
			}
		}(worker)
	}
	group.Wait()
	sort.Float64s(all.times)
	if len(all.times) > 0 {
		all.P99 = all.times[len(all.times)*99/100]
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		panic(err)
	}
}
