package main

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"
)

// bounds are the histogram's upper bounds in seconds. 0.08 and 0.1 are the objective and the limit
// of `POST /orders` in guanka.toml, so that the share of slow orders is exact there.
var bounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.08, 0.1, 0.25, 0.5, 1, 2.5}

// metrics counts requests by route and status.
type metrics struct {
	mu     sync.Mutex
	counts map[series]uint64
	times  map[string]*histogram
}

type series struct {
	route  string
	status int
}

type histogram struct {
	buckets []uint64
	count   uint64
	seconds float64
}

func newMetrics() *metrics {
	return &metrics{counts: map[series]uint64{}, times: map[string]*histogram{}}
}

func (m *metrics) observe(route string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[series{route, status}]++
	h := m.times[route]
	if h == nil {
		h = &histogram{buckets: make([]uint64, len(bounds))}
		m.times[route] = h
	}
	for i, bound := range bounds {
		if took.Seconds() <= bound {
			h.buckets[i]++
		}
	}
	h.count++
	h.seconds += took.Seconds()
}

// write answers in the Prometheus text format.
func (m *metrics) write(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprint(w, m.text())
}

func (m *metrics) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	fmt.Fprint(&out, "# HELP shop_release_info The release that answers.\n# TYPE shop_release_info gauge\n")
	fmt.Fprintf(&out, "shop_release_info{release=%q} 1\n", release)
	fmt.Fprint(&out, "# HELP shop_http_requests_total Requests by route and status.\n# TYPE shop_http_requests_total counter\n")
	counted := make([]series, 0, len(m.counts))
	for s := range m.counts {
		counted = append(counted, s)
	}
	sort.Slice(counted, func(i, j int) bool {
		a, b := counted[i], counted[j]
		return a.route < b.route || a.route == b.route && a.status < b.status
	})
	for _, s := range counted {
		fmt.Fprintf(&out, "shop_http_requests_total{route=%q,code=\"%d\"} %d\n", s.route, s.status, m.counts[s])
	}
	fmt.Fprint(&out, "# HELP shop_http_request_duration_seconds Time to serve a request.\n# TYPE shop_http_request_duration_seconds histogram\n")
	routes := make([]string, 0, len(m.times))
	for route := range m.times {
		routes = append(routes, route)
	}
	sort.Strings(routes)
	for _, route := range routes {
		m.times[route].write(&out, route)
	}
	return out.String()
}

func (h *histogram) write(out *strings.Builder, route string) {
	const name = "shop_http_request_duration_seconds"
	for i, bound := range bounds {
		fmt.Fprintf(out, "%s_bucket{route=%q,le=\"%g\"} %d\n", name, route, bound, h.buckets[i])
	}
	fmt.Fprintf(out, "%s_bucket{route=%q,le=\"+Inf\"} %d\n", name, route, h.count)
	fmt.Fprintf(out, "%s_sum{route=%q} %g\n", name, route, h.seconds)
	fmt.Fprintf(out, "%s_count{route=%q} %d\n", name, route, h.count)
}
