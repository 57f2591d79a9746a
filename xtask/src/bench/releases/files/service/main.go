// Command streams answers short requests, slow downloads, event streams and WebSockets, and stops
// as a good program does: what is short is answered, what is long goes on until the drain is over
// and is then told to reconnect.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain is how long streams go on after the program was told to stop.
const drain = 500 * time.Millisecond

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	if err := run(); err != nil {
		slog.Error("streams failed", "release", release, "error", err.Error())
		os.Exit(1)
	}
}

func run() error {
	addr := os.Getenv("PORT")
	if addr == "" {
		return errors.New("PORT is not set; it names the address to listen on")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	streams := newStreams()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", plain)
	mux.HandleFunc("GET /plain", plain)
	mux.HandleFunc("POST /orders", order)
	mux.HandleFunc("GET /download", download)
	mux.HandleFunc("GET /events", streams.events)
	mux.HandleFunc("GET /echo", streams.echo)
	srv := &http.Server{
		Addr:              addr,
		Handler:           mux,
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       75 * time.Second,
	}
	errCh := make(chan error, 1)
	go func() { errCh <- srv.ListenAndServe() }()
	slog.Info("streams starts", "release", release, "addr", addr)
	select {
	case err := <-errCh:
		return fmt.Errorf("listen on %s: %w", addr, err)
	case <-ctx.Done():
	}
	slog.Info("streams stops", "release", release)
	told := make(chan struct{})
	go func() {
		defer close(told)
		time.Sleep(drain)
		streams.end()
	}()
	shutdownCtx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(shutdownCtx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	<-told
	// Shutdown does not wait for WebSockets: they are the program's own to end.
	return streams.wait(shutdownCtx)
}
