terraform {
  # mock providers in tests, and optional attributes with defaults; 1.9 lets validations look at
  # other variables.
  required_version = ">= 1.9, < 2"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.0, < 8"
    }
  }
}
