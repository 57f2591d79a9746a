// Command shop is a small shop: a catalogue to search and orders to place. It listens where $PORT
// says (host:port), answers /healthz and /metrics, and stops without losing a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	if err := run(); err != nil {
		slog.Error("shop failed", "release", release, "error", err.Error())
		os.Exit(1)
	}
}

func run() error {
	addr := os.Getenv("PORT")
	if addr == "" {
		return errors.New("PORT is not set; it names the address to listen on, such as 127.0.0.1:18000")
	}
	home, err := releaseFolder()
	if err != nil {
		return err
	}
	catalog, err := loadCatalog(filepath.Join(home, "conf", "catalog.json"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	srv := &http.Server{
		Addr:              addr,
		Handler:           routes(catalog, newOrders(), filepath.Join(home, "static")),
		ReadHeaderTimeout: 2500 * time.Millisecond,
		ReadTimeout:       5 * time.Second,
		// Longer than the 12 s that nginx waits, so that nginx is the one to give up first.
		WriteTimeout: 15 * time.Second,
		// Longer than the 30 s that nginx keeps an idle connection, so that nginx closes first.
		IdleTimeout: 75 * time.Second,
	}
	errCh := make(chan error, 1)
	go func() { errCh <- srv.ListenAndServe() }()
	slog.Info("shop starts", "release", release, "addr", addr)

	select {
	case err := <-errCh:
		return fmt.Errorf("listen on %s: %w", addr, err)
	case <-ctx.Done():
	}
	slog.Info("shop stops", "release", release)
	shutdownCtx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(shutdownCtx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// releaseFolder returns the folder that holds bin, conf and static. Run from the source (go run),
// the program lies in a cache, and the folder is the current one.
func releaseFolder() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the program's own file: %w", err)
	}
	home := filepath.Dir(filepath.Dir(program))
	if _, err := os.Stat(filepath.Join(home, "conf", "catalog.json")); err == nil {
		return home, nil
	}
	return ".", nil
}
