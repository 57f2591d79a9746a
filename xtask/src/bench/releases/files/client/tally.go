package main

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// kept bounds the failures that are told one by one.
const kept = 200

// counts is what one kind of client saw.
type counts struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Items are a stream's events or messages.
	Items int `json:"items"`
	// Told is how often a stream was asked to reconnect.
	Told int `json:"told"`
	// Again is how often a request needed a second connection, by the client's library.
	Again int            `json:"again"`
	Kinds map[string]int `json:"kinds"`
}

// failure is one request that found no good answer.
type failure struct {
	Kind    string `json:"kind"`
	Detail  string `json:"detail"`
	BeganMs int64  `json:"began_ms"`
	EndedMs int64  `json:"ended_ms"`
}

type tally struct {
	lock     sync.Mutex
	counts   counts
	failures []failure
}

func newTally() *tally { return &tally{counts: counts{Kinds: map[string]int{}}} }

func (t *tally) read() (*counts, []failure) {
	t.lock.Lock()
	defer t.lock.Unlock()
	c := t.counts
	c.Kinds = map[string]int{}
	for kind, n := range t.counts.Kinds {
		c.Kinds[kind] = n
	}
	return &c, append([]failure{}, t.failures...)
}

func (t *tally) change(f func(*counts)) {
	t.lock.Lock()
	defer t.lock.Unlock()
	f(&t.counts)
}

// good counts a request that was answered as it must be.
func (t *tally) good() { t.change(func(c *counts) { c.Requests++ }) }

// fail counts a request that was not.
func (t *tally) fail(began time.Time, kind, detail string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.counts.Requests++
	t.counts.Failed++
	t.counts.Kinds[kind]++
	if len(t.failures) < kept {
		now := time.Now().UnixMilli()
		t.failures = append(t.failures, failure{kind, detail, began.UnixMilli(), now})
	}
}

// end counts a request by how it ended.
func (t *tally) end(began time.Time, err error) {
	if err == nil {
		t.good()
		return
	}
	t.fail(began, kind(err), err.Error())
}

// badStatus is an answer that is not the arm's.
type badStatus int

func (s badStatus) Error() string { return "status " + strconv.Itoa(int(s)) }

// wrong is an answer that is not what was asked for.
type wrong string

func (w wrong) Error() string { return string(w) }

// kind names what went wrong.
func kind(err error) string {
	var status badStatus
	var mistaken wrong
	var network net.Error
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &mistaken):
		return "wrong"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "short"
	case errors.Is(err, io.EOF):
		return "eof"
	case errors.As(err, &network) && network.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "stream error"):
		return "stream reset"
	}
	return "other"
}
