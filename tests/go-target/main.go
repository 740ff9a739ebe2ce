// A business server behind the exporter. It keeps the webhook-id of each callback in a file before it answers, so that
// nothing that it took is forgotten when it is killed.
//
// Usage: go-target ADDRESS FILE
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
)

// OpenIM's answer: pkg/callbackstruct/common.go, CommonCallbackResp.
type commonCallbackResp struct {
	ActionCode int32  `json:"actionCode"`
	ErrCode    int32  `json:"errCode"`
	ErrMsg     string `json:"errMsg"`
	ErrDlt     string `json:"errDlt"`
	NextCode   int32  `json:"nextCode"`
}

func main() {
	kept, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if _, err := kept.WriteString(r.Header.Get("webhook-id") + "\n"); err != nil {
			log.Fatal(err)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(commonCallbackResp{}); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
