"""What the commands share: arguments, help, and a user's mistake in one line."""
