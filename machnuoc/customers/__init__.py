"""Customers of water supply: households and others, their connections, meters, readings, requests and complaints."""
