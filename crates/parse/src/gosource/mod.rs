//! Parses Go source: own lexer, shallow parser, constant folding.
