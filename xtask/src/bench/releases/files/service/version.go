package main

const release = "a"
