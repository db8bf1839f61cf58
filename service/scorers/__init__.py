"""One file per scorer; `contract` says what all of them promise. Only `rewright.service.wiring` opens them."""
