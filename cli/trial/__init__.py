"""``prestream trial``: compare pulls of one image in a cluster without a deployment."""
