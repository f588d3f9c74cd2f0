"""Steering vectors as files: written with a receipt, explained, and searched for by layer and strength."""
