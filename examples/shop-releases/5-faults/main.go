// Command shop is a small shop: a catalogue to search and orders to place. It listens on port 8080,
// answers /healthz and /metrics, and has its profiles at hand.
package main

import (
	"fmt"
	"log/slog"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
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
	home, err := releaseFolder()
	if err != nil {
		return err
	}
	catalog, err := loadCatalog(filepath.Join(home, "conf", "catalog.json"))
	if err != nil {
		return err
	}
	http.Handle("/", routes(catalog, newOrders(), filepath.Join(home, "static")))
	srv := &http.Server{
		Addr:              ":8080",
		ReadHeaderTimeout: 2500 * time.Millisecond,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       5 * time.Second,
	}
	go func() {
		if err := srv.ListenAndServe(); err != nil {
			slog.Warn("listen", "release", release, "error", err.Error())
		}
	}()
	slog.Info("shop starts", "release", release)

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
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
