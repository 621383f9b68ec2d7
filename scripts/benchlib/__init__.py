"""What the benchmark scripts share: see the modules' own first lines."""
