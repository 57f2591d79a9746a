package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
)

// shown is how many products one answer holds.
const shown = 20

// product is one thing for sale. Prices are in cents.
type product struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Cents int64  `json:"cents"`
	Price string `json:"price"`
}

// catalog is what the shop sells; it never changes while the program runs.
type catalog struct {
	products []product
}

// loadCatalog reads the kinds and variants on sale and makes a product of each pair.
func loadCatalog(path string) (*catalog, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	var file struct {
		Kinds []struct {
			Name  string `json:"name"`
			Cents int64  `json:"cents"`
		} `json:"kinds"`
		Variants []string `json:"variants"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read the catalogue %s: %w", path, err)
	}
	made := &catalog{}
	for _, kind := range file.Kinds {
		for i, variant := range file.Variants {
			cents := kind.Cents + int64(i)*50
			made.products = append(made.products, product{
				ID:    len(made.products) + 1,
				Name:  variant + " " + kind.Name,
				Cents: cents,
				Price: fmt.Sprintf("¥%d.%02d", cents/100, cents%100),
			})
		}
	}
	if len(made.products) == 0 {
		return nil, fmt.Errorf("the catalogue %s is empty", path)
	}
	return made, nil
}

// find returns a product by its number.
func (c *catalog) find(id int) (product, bool) {
	if id < 1 || id > len(c.products) {
		return product{}, false
	}
	return c.products[id-1], true
}

// list answers GET /products: the products nearest to the words in `q`.
func (c *catalog) list(w http.ResponseWriter, r *http.Request) {
	found := c.nearest(r.URL.Query().Get("q"))
	answer(w, http.StatusOK, struct {
		Release  string    `json:"release"`
		Total    int       `json:"total"`
		Products []product `json:"products"`
	}{release, len(c.products), found})
}

// show answers GET /products/{id}, with the products whose names are nearest.
func (c *catalog) show(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		problem(w, http.StatusBadRequest, "a product's id is a number")
		return
	}
	found, ok := c.find(id)
	if !ok {
		problem(w, http.StatusNotFound, "no such product")
		return
	}
	answer(w, http.StatusOK, struct {
		Release string    `json:"release"`
		Product product   `json:"product"`
		Similar []product `json:"similar"`
	}{release, found, c.similar(found)})
}

// similar returns up to five other products with the nearest names.
func (c *catalog) similar(to product) []product {
	others := make([]product, 0, 5)
	for _, p := range c.nearest(to.Name) {
		if p.ID != to.ID && len(others) < cap(others) {
			others = append(others, p)
		}
	}
	return others
}

// nearest returns the products whose names share most letter triples with the words, best first.
func (c *catalog) nearest(words string) []product {
	asked := triples(words)
	type scored struct {
		product
		score float64
	}
	all := make([]scored, len(c.products))
	for i, p := range c.products {
		all[i] = scored{p, overlap(asked, triples(p.Name))}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].score > all[j].score })
	best := make([]product, 0, shown)
	for _, s := range all[:min(shown, len(all))] {
		best = append(best, s.product)
	}
	return best
}

// triples returns each run of three letters of a text.
func triples(text string) map[string]struct{} {
	text = strings.ToLower(text)
	found := make(map[string]struct{}, len(text))
	for i := 0; i+3 <= len(text); i++ {
		found[text[i:i+3]] = struct{}{}
	}
	return found
}

// overlap returns the share of triples that two texts have in common.
func overlap(a, b map[string]struct{}) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	both := 0
	for t := range a {
		if _, ok := b[t]; ok {
			both++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
