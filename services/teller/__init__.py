"""The Teller: the agent on a site's hub. Measures, signs, stores, forwards."""
