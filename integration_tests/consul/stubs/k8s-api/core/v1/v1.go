// Package v1 holds an account of a service, as far as Consul looks at it; go.mod says why.
package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// An account and what it refers to.
type (
	ObjectReference struct{ Name string }
	ServiceAccount  struct {
		metav1.TypeMeta
		metav1.ObjectMeta
		Secrets []ObjectReference
	}
)
