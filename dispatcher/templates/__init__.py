"""Command templates: words with places for values, from YAML to the arguments of a command."""
