// Package awserr names an error that nothing here returns; go.mod says why.
package awserr

// Error has a code.
type Error interface {
	error
	Code() string
}
