"""What an agent did, step by step: every CLI's own stream as one ATIF v1.7 document."""
