"""Re-enact labelled action clips with other people, views and places, and train recognizers on the mix."""
