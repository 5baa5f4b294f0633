"""The page, and what the leaderboard will say."""
