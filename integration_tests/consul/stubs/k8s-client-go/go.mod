// Stands in for the client of Kubernetes; see k8s-api.
module k8s.io/client-go

go 1.21

require (
	k8s.io/api v0.16.9
	k8s.io/apimachinery v0.16.9
)
