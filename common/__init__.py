"""What training and serving must agree on; knows neither Ray, nor HTTP, nor Redis."""
