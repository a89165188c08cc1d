variable "archive" {
  description = "The bucket of the source, and the local archive to upload there; or an object that is there already."
  type        = object({ bucket = string, path = optional(string), object = optional(string) })
}

variable "build" {
  description = "The repository for the function's image, and the service account that builds it, by their full names."
  type        = object({ docker_repository = string, service_account = string })
}

variable "description" {
  description = "The purpose of the function, in one sentence."
  type        = string
}

variable "entry_point" {
  description = "Name of the Python function that handles a message."
  type        = string
}

variable "environment" {
  description = "Environment variables of the function."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "kms_key" {
  description = "Customer-managed key for source and image; null for Google's own."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the function and its subscriptions."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "limits" {
  description = "Resources of the function; concurrent requests need a whole CPU, and the framework serves four per CPU."
  type = object({
    concurrency   = optional(number, 4)
    cpu           = optional(string, "1")
    max_instances = number
    memory        = optional(string, "512Mi")
    timeout_s     = optional(number, 60)
  })

  validation {
    condition     = var.limits.timeout_s >= 10 && var.limits.timeout_s <= 540
    error_message = "Pub/Sub waits for 10 to 600 seconds, and a function for its messages runs for at most 540 seconds."
  }
}

variable "location" {
  description = "Region of the function."
  type        = string
}

variable "name" {
  description = "Name of the function and of its subscriptions."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "The name has 6 to 30 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "project_id" {
  description = "Project of the function."
  type        = string
}

variable "runtime" {
  description = "Runtime of Cloud Functions, pythonNNN."
  type        = string

  validation {
    condition     = can(regex("^python3(1[1-9]|[2-9][0-9])$", var.runtime))
    error_message = "The functions need Python 3.11 or newer."
  }
}

variable "service_account" {
  description = "E-mail address of the function's identity."
  type        = string
}

variable "trigger" {
  description = "The topics, of which main is the function's own, the filter of its messages, and their delivery: identity, attempts and retention."
  type = object({
    topics                = map(string)
    filter                = optional(string)
    dead_letter_topic     = string
    invoker_email         = string
    max_delivery_attempts = optional(number, 10)
    pubsub_agent          = string
    retention             = string
  })

  validation {
    condition     = var.trigger.max_delivery_attempts >= 5 && var.trigger.max_delivery_attempts <= 100
    error_message = "Pub/Sub accepts 5 to 100 delivery attempts."
  }
}

variable "vpc_connector" {
  description = "Connector to private addresses; null if it is not needed."
  type        = string
  default     = null
}
