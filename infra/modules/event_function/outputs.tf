output "service_account" {
  description = "The function's identity: its e-mail address, and its name as a member of a policy."
  value = {
    email  = google_service_account.main.email
    member = google_service_account.main.member
  }
}

output "subscription" {
  description = "Name of the subscription, for a replay."
  value       = google_pubsub_subscription.main.name
}
