package main

// release is what every answer names, so that a client can tell which release served it.
const release = "1"
