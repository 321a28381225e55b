"""What `faults.py` tries: verbs that are killed, hindered, or given damaged files, and what undisturbed ones make."""
