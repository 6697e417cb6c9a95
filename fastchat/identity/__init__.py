"""Who somebody is: guests, tokens and the keys that tokens are checked with."""
