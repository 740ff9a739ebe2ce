// OpenIM's side of a callback, with its types and its client, and a business server that answers it. The first argument
// says which:
//
//	judge: for each line of standard input, an answer in base64, prints what each version makes of it.
//	send VERSION URL: for each line of standard input, "COMMAND BODY", posts a callback as this version does, and prints
//	    what it makes of the answer, with the answer in base64.
//	serve: a business server. It prints its port, and then each request as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Of OpenIM 2.3.
type respV2 struct {
	ActionCode  int    `json:"actionCode"`
	ErrCode     int    `json:"errCode"`
	ErrMsg      string `json:"errMsg"`
	OperationID string `json:"operationID"`
}

// Of OpenIM 3.0 to 3.4.0.
type respV30 struct {
	ActionCode  int    `json:"actionCode"`
	ErrCode     int32  `json:"errCode"`
	ErrMsg      string `json:"errMsg"`
	OperationID string `json:"operationID"`
}

// Of OpenIM 3.4.2 and newer.
type respV34 struct {
	ActionCode int32  `json:"actionCode"`
	ErrCode    int32  `json:"errCode"`
	ErrMsg     string `json:"errMsg"`
	ErrDlt     string `json:"errDlt"`
	NextCode   int32  `json:"nextCode"`
}

var versions = []string{"2.3", "3.0", "3.4.2", "3.7"}

// Whether a version refuses the user's action after this answer. An error if it cannot read the answer.
func refuses(version string, answer []byte) (bool, error) {
	switch version {
	case "2.3":
		// Each callback's type embeds the common one.
		resp := struct{ respV2 }{}
		err := json.Unmarshal(answer, &resp)
		return resp.ActionCode != 0, err
	case "3.0":
		resp := struct{ respV30 }{}
		err := json.Unmarshal(answer, &resp)
		return resp.ActionCode != 0 || resp.ErrCode != 0, err
	case "3.4.2":
		resp := struct{ respV34 }{}
		err := json.Unmarshal(answer, &resp)
		return resp.ActionCode != 0 || resp.NextCode == 1, err
	default:
		resp := struct{ respV34 }{}
		err := json.Unmarshal(answer, &resp)
		return resp.ActionCode == 0 && resp.NextCode == 1, err
	}
}

func outcome(version string, answer []byte) string {
	refused, err := refuses(version, answer)
	switch {
	case err != nil:
		return "error"
	case refused:
		return "refuses"
	default:
		return "allows"
	}
}

func lines(each func(line string)) {
	reader := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		each(strings.TrimSuffix(line, "\n"))
	}
}

func judge() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines(func(line string) {
		answer, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			panic(err)
		}
		for _, version := range versions {
			fmt.Fprint(out, outcome(version, answer), " ")
		}
		fmt.Fprintln(out)
	})
}

// The URL to which a version posts a command.
func address(version, base, command string) string {
	switch version {
	case "2.3":
		return base
	case "3.0":
		return base + "?" + url.Values{"command": {command}}.Encode()
	default:
		return base + "/" + command
	}
}

func post(client *http.Client, version, base, command, body string) (*http.Response, []byte, error) {
	// OpenIM's encoder appends a newline since 3.7.
	request, err := http.NewRequest(http.MethodPost, address(version, base, command), strings.NewReader(body+"\n"))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	if version != "2.3" {
		request.Header.Set("operationID", "op-go")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response, answer, err
}

func send(version, base string) {
	timeout := 5 * time.Second
	if version == "2.3" {
		timeout = 2 * time.Second
	}
	client := &http.Client{Timeout: timeout}
	lines(func(line string) {
		command, body, _ := strings.Cut(line, " ")
		response, answer, err := post(client, version, base, command, body)
		if err != nil {
			fmt.Println("error 0", base64.StdEncoding.EncodeToString([]byte(err.Error())))
			return
		}
		fmt.Println(outcome(version, answer), response.StatusCode, base64.StdEncoding.EncodeToString(answer))
	})
}

type seen struct {
	URI     string
	Headers http.Header
	Body    []byte
}

// Answers like a server that was written for OpenIM 3.7: it refuses what contains "forbidden". What contains "old
// refusal" it refuses as for older versions.
func answer(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	line, err := json.Marshal(seen{request.RequestURI, request.Header, body})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
	resp := respV34{}
	if bytes.Contains(body, []byte("forbidden")) {
		resp = respV34{ErrCode: 20002, ErrMsg: "not <here>", NextCode: 1}
	} else if bytes.Contains(body, []byte("old refusal")) {
		resp = respV34{ActionCode: 1, ErrCode: 20002, NextCode: 1}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if err := json.NewEncoder(w).Encode(resp); err != nil {
		panic(err)
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(answer)))
}

func main() {
	switch os.Args[1] {
	case "judge":
		judge()
	case "send":
		send(os.Args[2], os.Args[3])
	case "serve":
		serve()
	}
}
