"""Ways through the model that give every target token's log-probability, and the choice among them."""
