"""How models behave: suites of prompts, answers kept as they come, checks that need no judge, votes, guardrails."""
