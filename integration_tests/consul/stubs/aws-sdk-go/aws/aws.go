// Package aws holds what is left of the software kit of AWS; go.mod says why.
package aws

// String returns a pointer to a copy.
func String(value string) *string { return &value }

// Bool returns a pointer to a copy.
func Bool(value bool) *bool { return &value }

// Int64 returns a pointer to a copy.
func Int64(value int64) *int64 { return &value }
