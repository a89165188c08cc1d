"""Whether credentials for Google's services exist."""

from shared.clients.vendor_import import IMPORTING


def has_credentials() -> bool:
    """
    Whether Google's libraries find credentials, in the order in which they look for them.

    https://docs.cloud.google.com/docs/authentication/application-default-credentials
    """
    with IMPORTING:
        import google.auth
        from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default()
    except (GoogleAuthError, OSError):
        return False
    return True
