package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"
)

// routes returns the shop's handler.
func routes(catalog *catalog, orders *orders, static string) http.Handler {
	metrics := newMetrics()
	mux := http.NewServeMux()
	watch := func(pattern string, handler http.HandlerFunc) http.Handler {
		return observed(metrics, pattern, handler)
	}
	mux.Handle("GET /products", watch("GET /products", catalog.list))
	mux.Handle("GET /products/{id}", watch("GET /products/{id}", catalog.show))
	mux.Handle("POST /orders", watch("POST /orders", orders.place(catalog)))
	mux.Handle("GET /orders/{id}", watch("GET /orders/{id}", orders.show))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, struct {
			Release string `json:"release"`
			Status  string `json:"status"`
		}{release, "ok"})
	})
	mux.HandleFunc("GET /metrics", metrics.write)
	mux.Handle("GET /", http.FileServer(http.Dir(static)))
	return mux
}

// observed counts and times a handler, and turns a panic into a 500 so that one broken request
// does not also break the connection that others share.
func observed(metrics *metrics, route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if cause := recover(); cause != nil {
				slog.Error("request failed", "release", release, "route", route, "cause", cause)
				problem(seen, http.StatusInternalServerError, "internal error")
			}
			metrics.observe(route, seen.status, time.Since(begin))
		}()
		next.ServeHTTP(seen, r)
	})
}

// statusWriter remembers the status that a handler wrote.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		slog.Error("encode an answer", "release", release, "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		slog.Info("client went away", "release", release, "error", err.Error())
	}
}

// problem answers that a request could not be served, and why.
func problem(w http.ResponseWriter, status int, why string) {
	answer(w, status, struct {
		Release string `json:"release"`
		Error   string `json:"error"`
	}{release, why})
}
