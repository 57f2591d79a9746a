package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// kept is how many orders stay in memory; the oldest makes room for the next.
	kept = 10_000
	// receiptRounds makes a receipt dear to forge; about a millisecond of work.
	receiptRounds = 8_000
	// bodyMax bounds an order's text.
	bodyMax = 64 << 10
)

// order is what a customer bought.
type order struct {
	ID       string    `json:"id"`
	Product  int       `json:"product"`
	Quantity int       `json:"quantity"`
	Customer string    `json:"customer"`
	Coupon   string    `json:"coupon,omitempty"`
	Cents    int64     `json:"cents"`
	Receipt  string    `json:"receipt"`
	PlacedAt time.Time `json:"placed_at"`
}

// wanted is the body of POST /orders.
type wanted struct {
	Product  int    `json:"product"`
	Quantity int    `json:"quantity"`
	Customer string `json:"customer"`
	Coupon   string `json:"coupon"`
}

// orders keeps the latest orders.
type orders struct {
	mu    sync.Mutex
	next  uint64
	byID  map[string]order
	queue []string
	gifts gifts
}

func newOrders() *orders {
	return &orders{byID: map[string]order{}}
}

// place answers POST /orders.
func (o *orders) place(catalog *catalog) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var want wanted
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax))
		if err := body.Decode(&want); err != nil {
			problem(w, http.StatusBadRequest, "the body is not an order: "+err.Error())
			return
		}
		if want.Quantity < 1 || want.Quantity > 100 {
			problem(w, http.StatusUnprocessableEntity, "quantity must be 1 to 100")
			return
		}
		if want.Customer == "" || len(want.Customer) > 200 {
			problem(w, http.StatusUnprocessableEntity, "customer is missing or too long")
			return
		}
		product, ok := catalog.find(want.Product)
		if !ok {
			problem(w, http.StatusUnprocessableEntity, "no such product")
			return
		}
		o.gifts.redeem(want)
		placed := o.keep(want, price(product, want))
		slog.Info("order placed", "release", release, "order", placed.ID, "cents", placed.Cents)
		answer(w, http.StatusCreated, struct {
			Release string `json:"release"`
			Order   order  `json:"order"`
		}{release, placed})
	}
}

// show answers GET /orders/{id}.
func (o *orders) show(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	found, ok := o.byID[r.PathValue("id")]
	o.mu.Unlock()
	if !ok {
		problem(w, http.StatusNotFound, "no such order")
		return
	}
	answer(w, http.StatusOK, struct {
		Release string `json:"release"`
		Order   order  `json:"order"`
	}{release, found})
}

// price returns what an order costs; a coupon takes a tenth off.
func price(p product, want wanted) int64 {
	cents := p.Cents * int64(want.Quantity)
	if want.Coupon != "" {
		cents -= cents / 10
	}
	return cents
}

// keep gives the order its number and receipt and stores it.
func (o *orders) keep(want wanted, cents int64) order {
	placed := order{
		Product:  want.Product,
		Quantity: want.Quantity,
		Customer: want.Customer,
		Coupon:   want.Coupon,
		Cents:    cents,
		Receipt:  receipt(want, cents),
		PlacedAt: time.Now().UTC(),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	placed.ID = fmt.Sprintf("o-%08d", o.next)
	o.byID[placed.ID] = placed
	o.queue = append(o.queue, placed.ID)
	if len(o.queue) > kept {
		delete(o.byID, o.queue[0])
		o.queue = o.queue[1:]
	}
	return placed
}

// receipt returns a digest over the order that takes some work to make.
func receipt(want wanted, cents int64) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%s/%d/%d/%d", want.Customer, want.Product, want.Quantity, cents)))
	for i := 0; i < receiptRounds; i++ {
		sum = sha256.Sum256(sum[:])
	}
	return hex.EncodeToString(sum[:8])
}

// giftEvery is which redeemed coupon wins a gift: every 33rd, about 3 % of them.
const giftEvery = 33

// gifts counts redeemed coupons and remembers who won a gift.
type gifts struct {
	mu       sync.Mutex
	redeemed int
	winners  map[string]int
}

// redeem counts an order's coupon; every 33rd wins a gift.
func (g *gifts) redeem(want wanted) {
	if want.Coupon == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.redeemed++
	if g.redeemed%giftEvery == 0 {
		g.winners[want.Customer]++
	}
}
