"""The memory plan beside what runs take: python -m benchmarks.memory_plan."""
