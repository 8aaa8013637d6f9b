"""What a run does: components, load, judgement, reports, and the Prefect stages that call them."""
