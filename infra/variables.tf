variable "alerts" {
  description = "Whether alert policies are made, whom they notify, and how many warmups an hour may fail before they do."
  type = object({
    enabled                = optional(bool, true)
    failed_warmups_an_hour = optional(number, 5)
    notification_channels  = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alerts.failed_warmups_an_hour >= 1
    error_message = "At least one warmup must fail before an alert can tell of it."
  }
}

variable "archives_folder" {
  description = "Folder with the functions' archives, NAME.zip, as make archives writes them; null for build/functions of this checkout."
  type        = string
  default     = null
}

variable "cluster_projects" {
  description = "Projects beside project_id whose clusters are watched; those of clusters that prestream.yaml lists by their full name are added by themselves."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "config_file" {
  description = "The configuration, the same file as in the archives; null for prestream.yaml of this checkout."
  type        = string
  default     = null
}

variable "existing_topics" {
  description = "Those of Google's topics, cloud-builds and gcr, that the project has already, and that are not made here."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.existing_topics, ["cloud-builds", "gcr"])) == 0
    error_message = "Only cloud-builds and gcr may be there already; all others are Prestream's own."
  }
}

variable "facts" {
  description = "Days that facts are kept, and whether they can be queried by SQL, which can be turned on later but never off."
  type = object({
    analytics      = optional(bool, false)
    retention_days = optional(number, 400)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.facts.retention_days >= 1 && var.facts.retention_days <= 3650
    error_message = "Cloud Logging keeps entries for 1 to 3650 days."
  }
}

variable "image_projects" {
  description = "Projects beside that of the mirrors whose Artifact Registry holds images to be warmed."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "kms_key" {
  description = "Customer-managed key in location for topics, archives, functions and facts, projects/P/locations/L/keyRings/R/cryptoKeys/K; null for Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.location}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "The key must be given by its full name, and lie in the location of the functions."
  }
}

variable "labels" {
  description = "Labels of everything that can have some."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "location" {
  description = "Region of the functions; that of the clusters is nearest, but any will do."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.location))
    error_message = "The location must be a region, such as us-central1."
  }
}

variable "message_retention_days" {
  description = "Days that messages are kept for a replay, also after they were acknowledged."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31
    error_message = "Pub/Sub keeps messages for 1 to 31 days."
  }
}

variable "mirrors" {
  description = "Locations in which the mirrors of all upstreams are made in advance, and whether further ones are made when an image needs them."
  type = object({
    locations = optional(set(string), [])
    on_demand = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "node_service_accounts" {
  description = "E-mail addresses of the service accounts of nodes, which must be able to pull from the mirrors and to stream from them."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.node_service_accounts : can(regex("^[^:@]+@[^:@]+$", email))])
    error_message = "A service account is given by its e-mail address, without a prefix."
  }
}

variable "pipeline" {
  description = "The bucket with Terraform's state, for a service account with which cloudbuild.yaml runs; null for none."
  type = object({
    state_bucket = string
  })
  default = null
}

variable "project_id" {
  description = "Project of the functions, topics and facts."
  type        = string
  nullable    = false
}

variable "sink_scope" {
  description = "Folder or organisation, by its number, whose clusters' logs are read; without either, those of the watched projects."
  type = object({
    folder       = optional(string)
    organization = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.sink_scope.folder == null || var.sink_scope.organization == null
    error_message = "The logs are read of a folder or of an organisation, not of both."
  }
}

variable "sweep" {
  description = "When a sweep begins, in cron's form, and in which time zone; paused to stop it for a while."
  type = object({
    paused    = optional(bool, false)
    schedule  = optional(string, "7 * * * *")
    time_zone = optional(string, "Etc/UTC")
  })
  default  = {}
  nullable = false
}

variable "vpc_connector" {
  description = "Serverless VPC Access connector through which private control planes are reached, projects/P/locations/L/connectors/C; null for none."
  type        = string
  default     = null
}

variable "warm_pool" {
  description = "A node pool of one small Spot machine for warmups, in the cluster projects/P/locations/L/clusters/C; null for none."
  type = object({
    cluster      = string
    disk_size_gb = optional(number, 200)
    machine_type = optional(string, "e2-standard-2")
    max_nodes    = optional(number, 1)
    min_nodes    = optional(number, 0)
  })
  default = null

  validation {
    condition     = var.warm_pool == null || can(regex("^projects/[^/]+/locations/[^/]+/clusters/[^/]+$", var.warm_pool.cluster))
    error_message = "The cluster must be given by its full name, projects/P/locations/L/clusters/C."
  }
}
