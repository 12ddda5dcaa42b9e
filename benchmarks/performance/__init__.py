"""What perlhf costs, side by side with others on the same work: python -m benchmarks.performance."""
