"""The lambda component: cold starts, memory, errors and cost of the platform's functions."""
