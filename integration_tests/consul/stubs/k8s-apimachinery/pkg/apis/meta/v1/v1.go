// Package v1 holds what the objects of Kubernetes share, as far as Consul looks at it; the go.mod of k8s-api says why.
package v1

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Words of a Status.
const (
	StatusFailure                      = "Failure"
	StatusReasonForbidden StatusReason = "Forbidden"
	StatusReasonNotFound  StatusReason = "NotFound"
)

// The parts of an object.
type (
	GetOptions    struct{}
	ListMeta      struct{}
	StatusReason  string
	StatusDetails struct{ Name, Group, Kind string }
	Time          struct{ time.Time }
	TypeMeta      struct{ Kind, APIVersion string }

	ObjectMeta struct {
		Name, Namespace, SelfLink, ResourceVersion string
		UID                                        types.UID
		CreationTimestamp                          Time
		Annotations                                map[string]string
	}
	Status struct {
		TypeMeta
		ListMeta
		Status, Message string
		Reason          StatusReason
		Details         *StatusDetails
		Code            int32
	}
)

// GetObjectMeta returns itself.
func (meta *ObjectMeta) GetObjectMeta() *ObjectMeta { return meta }

// GetAnnotations returns the annotations.
func (meta *ObjectMeta) GetAnnotations() map[string]string { return meta.Annotations }
