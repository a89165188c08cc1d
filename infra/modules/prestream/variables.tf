variable "alerts" {
  description = "Whether alert policies exist, their notification channels, and the number of failed warmups per hour that triggers one."
  type = object({
    enabled                = optional(bool, true)
    failed_warmups_an_hour = optional(number, 5)
    notification_channels  = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alerts.failed_warmups_an_hour >= 1
    error_message = "The number of failed warmups per hour must be at least 1."
  }
}

variable "archives_folder" {
  description = "Folder with the functions' archives, NAME.zip, as make archives writes them or a release has them; null if released_archives is set."
  type        = string
  default     = null
}

variable "build_projects" {
  description = "Further projects whose builds of Cloud Build are read, such as that of a central CI; the functions may read their images."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "cluster_projects" {
  description = "Further projects with watched clusters; the projects of clusters that prestream.yaml lists by their full name are added automatically."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "existing_topics" {
  description = "Google's topics that exist already and are never changed or deleted here: cloud-builds, gcr, or PROJECT/TOPIC for another project."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.existing_topics : can(regex("^([^/]+/)?(cloud-builds|gcr)$", name))])
    error_message = "Only cloud-builds and gcr, or PROJECT/cloud-builds and PROJECT/gcr, may exist already; all other topics belong to Prestream."
  }
}

variable "facts" {
  description = "Days for which facts are kept, and whether SQL can query them, which can be turned on later but never off."
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

variable "kms_key" {
  description = "Customer-managed key in location for topics, archives, functions and facts, projects/P/locations/L/keyRings/R/cryptoKeys/K; null for Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.location}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "The key must have its full name, and be in the location of the functions."
  }
}

variable "labels" {
  description = "Labels of all resources that can have labels."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "location" {
  description = "Region of the functions; the region of the clusters is nearest, but any region works."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.location))
    error_message = "The location must be a region, such as us-central1."
  }
}

variable "message_retention_days" {
  description = "Days for which messages are kept for a replay, also after their acknowledgement."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31
    error_message = "Pub/Sub keeps messages for 1 to 31 days."
  }
}

variable "mirrors" {
  description = "Locations in which the mirrors of all upstreams are created in advance, and whether others are created when an image needs them."
  type = object({
    locations = optional(set(string), [])
    on_demand = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "project_id" {
  description = "Project of the functions, topics and facts."
  type        = string
  nullable    = false
}

variable "registry_projects" {
  description = "Further projects whose pushes to Artifact Registry are read; the functions may read their images."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "released_archives" {
  description = "Bucket and prefix of archives that are in Cloud Storage already, such as v1.0.0/; null to upload those of archives_folder."
  type        = object({ bucket = string, prefix = optional(string, "") })
  default     = null

  validation {
    condition     = (var.released_archives == null) != (var.archives_folder == null)
    error_message = "Set either archives_folder or released_archives."
  }
}

variable "runtime" {
  description = "Runtime of the functions, as Cloud Functions names it; Google supports python313 until October 2029."
  type        = string
  default     = "python313"
  nullable    = false

  validation {
    condition     = can(regex("^python3(1[1-9]|[2-9][0-9])$", var.runtime))
    error_message = "The functions need Python 3.11 or newer."
  }
}

variable "settings" {
  description = "The keys of prestream.yaml that differ from their defaults, as docs/configuration.md lists them."
  type        = any
  default     = {}
  nullable    = false
}

variable "sink_scope" {
  description = "Number of the folder or organisation whose cluster logs are read; by default, only the watched projects."
  type = object({
    folder       = optional(string)
    organization = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.sink_scope.folder == null || var.sink_scope.organization == null
    error_message = "Set a folder or an organisation, not both."
  }
}

variable "sweep" {
  description = "The schedule of the sweep in cron's form, its time zone, and whether it is paused."
  type = object({
    paused    = optional(bool, false)
    schedule  = optional(string, "7 * * * *")
    time_zone = optional(string, "Etc/UTC")
  })
  default  = {}
  nullable = false
}

variable "vpc_connector" {
  description = "Serverless VPC Access connector to private control planes, projects/P/locations/L/connectors/C; null if it is not needed."
  type        = string
  default     = null
}
