"""Pure judgement: measurements and thresholds become assessments, scores and gates."""
