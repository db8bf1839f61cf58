"""HTTP: routes, bodies, keys, errors, the end of a request and of the process. Computes no score."""
