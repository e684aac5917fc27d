"""Benchmarks (`machnuoc bench NAME`): each fills a throw-away database and holds the program against a named peer."""
