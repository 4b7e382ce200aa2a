"""One shop: sells, prints and prices with no help from outside."""
