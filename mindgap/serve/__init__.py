"""`python -m mindgap.serve`: start vLLM servers that steer, for `backend=vllm`."""
