"""One file a scorer; `contract` says what all of them promise. Only `service.wiring` opens them."""
