"""`backend=vllm`: a model behind vLLM servers that steer."""
